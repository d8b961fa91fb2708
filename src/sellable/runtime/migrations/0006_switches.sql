-- What a person switched by hand, for all processes.
CREATE TABLE switch (
    name  text PRIMARY KEY,
    value boolean NOT NULL,
    actor text NOT NULL,
    at    timestamptz NOT NULL
);

-- What processes remember between their lives, such as the fingerprint of the settings that numbers were computed with.
CREATE TABLE remembered (
    name  text PRIMARY KEY,
    value text NOT NULL,
    at    timestamptz NOT NULL
);
