"""Networks of a normal and a reduction cell: NASNet's family and DARTS."""
