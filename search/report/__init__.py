"""What people look at: the report, the live table, the plots."""
