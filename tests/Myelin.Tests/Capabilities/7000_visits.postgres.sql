CREATE TABLE visits (place integer PRIMARY KEY, count bigint NOT NULL);
