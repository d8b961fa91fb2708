"""The console: what people see and may do. What its pages may ask and do is handed in by the assembly."""
