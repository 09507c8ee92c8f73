"""Networks of a normal and a reduction cell: the NASNet family and DARTS."""
