-- What lowers is never held up: a channel that wrote it before its newest step goes on with that while the pass is counted.
ALTER TABLE ladder ADD COLUMN falls boolean NOT NULL DEFAULT false;
UPDATE ladder SET falls = mode <> 'shadow' AND gate = 'open';
