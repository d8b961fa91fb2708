"""Nights: real processes under load, struck again and again for as long as somebody has patience."""
