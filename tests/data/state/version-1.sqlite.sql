BEGIN TRANSACTION;
CREATE TABLE adapter (
	name VARCHAR(128) NOT NULL, 
	base VARCHAR(128) NOT NULL, 
	source TEXT NOT NULL, 
	revision VARCHAR(12) NOT NULL, 
	created_by VARCHAR(128) NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "adapter" VALUES('law-adapter','law','/srv/adapters/law','0123456789ab','admin',1760000005.0);
CREATE TABLE api_key (
	id VARCHAR(32) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	tenant VARCHAR(128) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	models JSON, 
	knowledge JSON, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	revoked_at FLOAT, 
	PRIMARY KEY (id), 
	UNIQUE (hash)
);
INSERT INTO "api_key" VALUES('key_0000000000000001','0af7e6eb1734a5fdc5e0dcedf5c6ef5ecb44b0beafcea7a0f71e17516d9290f0','admin','operator','admin','null','null',1760000000.25,NULL,NULL);
INSERT INTO "api_key" VALUES('key_0000000000000002','d2618e68fab181aa9b29230a322bb85fd5f2d5c2b8443bc811b6e9aad004211e','律所','律所','user','["law", "law-adapter"]','["\u52b3\u52a8\u6cd5"]',1760000001.5,4102444800.0,NULL);
INSERT INTO "api_key" VALUES('key_0000000000000003','c947b4754994c3dbbad199afea750d15a3ab20d3fc01f19b6df130eacc87a7d7','leaver','clinic','user','[]','null',1760000002.0,NULL,1760000009.0);
INSERT INTO "api_key" VALUES('key_0000000000000004','a5004dda6e4c89668b3fc769fd455f11ca8c971f7db4d83fbf5c5e4310420216','trainee','clinic','user','null','[]',1760000003.0,1760000004.0,NULL);
CREATE TABLE rag_batch (
	id VARCHAR(64) NOT NULL, 
	store_id VARCHAR(64) NOT NULL, 
	created_at INTEGER NOT NULL, 
	cancelled BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(store_id) REFERENCES rag_store (id) ON DELETE CASCADE
);
CREATE TABLE rag_file (
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(128) NOT NULL, 
	filename TEXT NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	created_at INTEGER NOT NULL, 
	expires_at INTEGER, 
	PRIMARY KEY (id)
);
INSERT INTO "rag_file" VALUES('file-0001','律所','劳动法.txt','assistants',12,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1760000000,NULL);
CREATE TABLE rag_passage (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	store_id VARCHAR(64) NOT NULL, 
	file_id VARCHAR(64) NOT NULL, 
	text TEXT NOT NULL, 
	start INTEGER NOT NULL, 
	"end" INTEGER NOT NULL, 
	page INTEGER, 
	law TEXT, 
	article VARCHAR(64), 
	version VARCHAR(10), 
	path TEXT NOT NULL, 
	digest VARCHAR(64), 
	vector BLOB, 
	FOREIGN KEY(store_id, file_id) REFERENCES rag_store_file (store_id, file_id) ON DELETE CASCADE
);
INSERT INTO "rag_passage" VALUES(7,'vs_0001','file-0001','第四十四条',0,5,1,'劳动法','第四十四条','2018-12-29','','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',X'0000803F');
CREATE TABLE rag_store (
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(128) NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT, 
	metadata JSON NOT NULL, 
	expires_days INTEGER, 
	created_at INTEGER NOT NULL, 
	last_active_at INTEGER NOT NULL, 
	generation INTEGER NOT NULL, 
	fingerprint TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "rag_store" VALUES('vs_0001','律所','劳动法',NULL,'{"a": "b"}',NULL,1760000000,1760000000,1,'f');
CREATE TABLE rag_store_file (
	store_id VARCHAR(64) NOT NULL, 
	file_id VARCHAR(64) NOT NULL, 
	batch_id VARCHAR(64), 
	created_at INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	error_code VARCHAR(32), 
	error_message TEXT, 
	usage_bytes BIGINT NOT NULL, 
	attributes JSON NOT NULL, 
	chunk_size INTEGER NOT NULL, 
	chunk_overlap INTEGER NOT NULL, 
	PRIMARY KEY (store_id, file_id), 
	FOREIGN KEY(store_id) REFERENCES rag_store (id) ON DELETE CASCADE, 
	FOREIGN KEY(file_id) REFERENCES rag_file (id) ON DELETE CASCADE, 
	FOREIGN KEY(batch_id) REFERENCES rag_batch (id) ON DELETE SET NULL
);
INSERT INTO "rag_store_file" VALUES('vs_0001','file-0001',NULL,1760000000,'completed',NULL,NULL,12,'{"k": 1}',800,400);
CREATE TABLE rag_text (
	file_id VARCHAR(64) NOT NULL, 
	text TEXT NOT NULL, 
	pages JSON NOT NULL, 
	PRIMARY KEY (file_id), 
	FOREIGN KEY(file_id) REFERENCES rag_file (id) ON DELETE CASCADE
);
INSERT INTO "rag_text" VALUES('file-0001','第四十四条','[0]');
CREATE TABLE schema_version (
	room VARCHAR(32) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (room)
);
INSERT INTO "schema_version" VALUES('keys',1);
INSERT INTO "schema_version" VALUES('adapters',1);
INSERT INTO "schema_version" VALUES('rag',1);
CREATE INDEX ix_rag_file_tenant ON rag_file (tenant);
CREATE INDEX ix_rag_store_tenant ON rag_store (tenant);
CREATE INDEX ix_rag_store_file_status ON rag_store_file (status);
CREATE INDEX rag_store_file_file ON rag_store_file (file_id);
CREATE INDEX ix_rag_store_file_batch_id ON rag_store_file (batch_id);
CREATE INDEX rag_passage_file ON rag_passage (store_id, file_id);
CREATE INDEX rag_passage_digest ON rag_passage (digest);
CREATE INDEX rag_passage_article ON rag_passage (store_id, article, law);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('rag_passage',7);
COMMIT;
