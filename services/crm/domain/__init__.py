"""What campaigns, templates, messages and mails are; pure Python."""
