"""What segments, memberships and RFM are; pure Python."""
