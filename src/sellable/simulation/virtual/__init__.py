"""The whole product on virtual time: one seed is one run, judged from outside (`sellable simulate`)."""
