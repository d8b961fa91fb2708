"""Assembly: settings in, running service out. The only place that names concrete parts."""
