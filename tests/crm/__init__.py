"""Tests of crm; files mirror the source."""
