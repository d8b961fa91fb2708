"""Truth: what is there, what is promised, what may be sold. One rule: nothing changes a quantity without a fact."""
