-- What arrives is stored encrypted. A row names the key that opens its body; '' was stored in the open by an older
-- version and is sealed when the service next starts.
ALTER TABLE inbox ADD COLUMN sealed_with text NOT NULL DEFAULT '';
ALTER TABLE inbox ALTER COLUMN sealed_with DROP DEFAULT;
-- Nothing can be gained from compressing what is encrypted, and trying cost more than all the rest of an insert.
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
