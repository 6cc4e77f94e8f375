"""What users give, checked and encoded: tables, labels, targets, groups and weights."""
