"""Keeps what a storefront offers equal to what can really ship."""
