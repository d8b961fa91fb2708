-- Every few batches the oldest rows go first: without this the search for them walks over all that was ever handled.
CREATE INDEX inbox_age ON inbox (id) WHERE state = 'new';
