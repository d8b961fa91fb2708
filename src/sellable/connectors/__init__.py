"""Vendors, one folder each, behind the protocols of `port`. Only the assembly may open a vendor's folder."""
