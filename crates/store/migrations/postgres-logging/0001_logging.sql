-- Schema 1 of the logging database, as that of SQLite beside it. Servers that start at once may
-- all run this.

-- The days of which there is a table.
CREATE TABLE IF NOT EXISTS log_day (
    day BIGINT NOT NULL PRIMARY KEY
);

-- Each certificate once, by the SHA-256 of its text; the last day of which an event names it.
CREATE TABLE IF NOT EXISTS log_certificate (
    digest BYTEA  NOT NULL PRIMARY KEY,
    kind   TEXT   NOT NULL,
    day    BIGINT NOT NULL,
    text   TEXT   NOT NULL
);
CREATE INDEX IF NOT EXISTS log_certificate_day ON log_certificate (day);
