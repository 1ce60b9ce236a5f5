-- Schema 1 of the directory services database, in a schema of its own beside what the cluster
-- keeps. Everything in it can be lost. Instants are seconds since 1970 UTC.

-- An answer counts when it is of the generation in use.
CREATE TABLE generation (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
);
INSERT INTO generation (id, number) VALUES (1, 0);

-- Questions are digests, answers are encrypted: both mean nothing without the cluster's keys.
CREATE TABLE answer (
    kind       TEXT COLLATE "C" NOT NULL,
    question   BYTEA            NOT NULL,
    generation BIGINT           NOT NULL,
    asked      BIGINT           NOT NULL,
    expires    BIGINT           NOT NULL,
    sealed     BYTEA            NOT NULL,
    PRIMARY KEY (kind, question)
);
CREATE INDEX answer_kind_asked ON answer (kind, asked);
CREATE INDEX answer_expires ON answer (expires);
