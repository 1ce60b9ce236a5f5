-- Schema 1 of the directory services database. Everything in it can be lost.
-- Instants are seconds since 1970 UTC.

-- An answer counts when it is of the generation in use.
CREATE TABLE generation (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO generation (id, number) VALUES (1, 0);

-- Questions are digests, answers are encrypted: both mean nothing without the cluster's keys.
CREATE TABLE answer (
    kind       TEXT    NOT NULL,
    question   BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    asked      INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (kind, question)
) STRICT;
CREATE INDEX answer_kind_asked ON answer (kind, asked);
CREATE INDEX answer_expires ON answer (expires);
