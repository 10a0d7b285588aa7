"""Tests of the use cases of crm."""
