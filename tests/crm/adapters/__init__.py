"""Tests of how crm reaches its store, Liquid and the mail server."""
