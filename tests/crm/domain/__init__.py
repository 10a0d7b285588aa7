"""Tests of what campaigns, templates, messages and mails are."""
