CREATE TABLE public.adapter (
    name character varying(128) NOT NULL,
    base character varying(128) NOT NULL,
    source text NOT NULL,
    revision character varying(12) NOT NULL,
    created_by character varying(128) NOT NULL,
    created_at double precision NOT NULL
);
CREATE TABLE public.api_key (
    id character varying(32) NOT NULL,
    hash character varying(64) NOT NULL,
    name character varying(128) NOT NULL,
    tenant character varying(128) NOT NULL,
    role character varying(16) NOT NULL,
    models json,
    knowledge json,
    created_at double precision NOT NULL,
    expires_at double precision,
    revoked_at double precision
);
CREATE TABLE public.rag_batch (
    id character varying(64) NOT NULL,
    store_id character varying(64) NOT NULL,
    created_at integer NOT NULL,
    cancelled boolean NOT NULL
);
CREATE TABLE public.rag_file (
    id character varying(64) NOT NULL,
    tenant character varying(128) NOT NULL,
    filename text NOT NULL,
    purpose character varying(32) NOT NULL,
    bytes bigint NOT NULL,
    sha256 character varying(64) NOT NULL,
    created_at integer NOT NULL,
    expires_at integer
);
CREATE TABLE public.rag_passage (
    id bigint NOT NULL,
    store_id character varying(64) NOT NULL,
    file_id character varying(64) NOT NULL,
    text text NOT NULL,
    start integer NOT NULL,
    "end" integer NOT NULL,
    page integer,
    law text,
    article character varying(64),
    version character varying(10),
    path text NOT NULL,
    digest character varying(64),
    vector bytea
);
CREATE SEQUENCE public.rag_passage_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.rag_passage_id_seq OWNED BY public.rag_passage.id;
CREATE TABLE public.rag_store (
    id character varying(64) NOT NULL,
    tenant character varying(128) NOT NULL,
    name text NOT NULL,
    description text,
    metadata json NOT NULL,
    expires_days integer,
    created_at integer NOT NULL,
    last_active_at integer NOT NULL,
    generation integer NOT NULL,
    fingerprint text
);
CREATE TABLE public.rag_store_file (
    store_id character varying(64) NOT NULL,
    file_id character varying(64) NOT NULL,
    batch_id character varying(64),
    created_at integer NOT NULL,
    status character varying(16) NOT NULL,
    error_code character varying(32),
    error_message text,
    usage_bytes bigint NOT NULL,
    attributes json NOT NULL,
    chunk_size integer NOT NULL,
    chunk_overlap integer NOT NULL
);
CREATE TABLE public.rag_text (
    file_id character varying(64) NOT NULL,
    text text NOT NULL,
    pages json NOT NULL
);
CREATE TABLE public.schema_version (
    room character varying(32) NOT NULL,
    version integer NOT NULL
);
ALTER TABLE ONLY public.rag_passage ALTER COLUMN id SET DEFAULT nextval('public.rag_passage_id_seq'::regclass);
INSERT INTO public.adapter VALUES ('law-adapter', 'law', '/srv/adapters/law', '0123456789ab', 'admin', 1760000005);
INSERT INTO public.api_key VALUES ('key_0000000000000001', '0af7e6eb1734a5fdc5e0dcedf5c6ef5ecb44b0beafcea7a0f71e17516d9290f0', 'admin', 'operator', 'admin', 'null', 'null', 1760000000.25, NULL, NULL);
INSERT INTO public.api_key VALUES ('key_0000000000000002', 'd2618e68fab181aa9b29230a322bb85fd5f2d5c2b8443bc811b6e9aad004211e', '律所', '律所', 'user', '["law", "law-adapter"]', '["\u52b3\u52a8\u6cd5"]', 1760000001.5, 4102444800, NULL);
INSERT INTO public.api_key VALUES ('key_0000000000000003', 'c947b4754994c3dbbad199afea750d15a3ab20d3fc01f19b6df130eacc87a7d7', 'leaver', 'clinic', 'user', '[]', 'null', 1760000002, NULL, 1760000009);
INSERT INTO public.api_key VALUES ('key_0000000000000004', 'a5004dda6e4c89668b3fc769fd455f11ca8c971f7db4d83fbf5c5e4310420216', 'trainee', 'clinic', 'user', 'null', '[]', 1760000003, 1760000004, NULL);
INSERT INTO public.rag_file VALUES ('file-0001', '律所', '劳动法.txt', 'assistants', 12, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1760000000, NULL);
INSERT INTO public.rag_passage VALUES (7, 'vs_0001', 'file-0001', '第四十四条', 0, 5, 1, '劳动法', '第四十四条', '2018-12-29', '', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', '\x0000803f');
INSERT INTO public.rag_store VALUES ('vs_0001', '律所', '劳动法', NULL, '{"a": "b"}', NULL, 1760000000, 1760000000, 1, 'f');
INSERT INTO public.rag_store_file VALUES ('vs_0001', 'file-0001', NULL, 1760000000, 'completed', NULL, NULL, 12, '{"k": 1}', 800, 400);
INSERT INTO public.rag_text VALUES ('file-0001', '第四十四条', '[0]');
INSERT INTO public.schema_version VALUES ('keys', 1);
INSERT INTO public.schema_version VALUES ('adapters', 1);
INSERT INTO public.schema_version VALUES ('rag', 1);
SELECT pg_catalog.setval('public.rag_passage_id_seq', 7, true);
ALTER TABLE ONLY public.adapter
    ADD CONSTRAINT adapter_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rag_batch
    ADD CONSTRAINT rag_batch_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rag_file
    ADD CONSTRAINT rag_file_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rag_passage
    ADD CONSTRAINT rag_passage_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rag_store_file
    ADD CONSTRAINT rag_store_file_pkey PRIMARY KEY (store_id, file_id);
ALTER TABLE ONLY public.rag_store
    ADD CONSTRAINT rag_store_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rag_text
    ADD CONSTRAINT rag_text_pkey PRIMARY KEY (file_id);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (room);
CREATE INDEX ix_rag_file_tenant ON public.rag_file USING btree (tenant);
CREATE INDEX ix_rag_store_file_batch_id ON public.rag_store_file USING btree (batch_id);
CREATE INDEX ix_rag_store_file_status ON public.rag_store_file USING btree (status);
CREATE INDEX ix_rag_store_tenant ON public.rag_store USING btree (tenant);
CREATE INDEX rag_passage_article ON public.rag_passage USING btree (store_id, article, law);
CREATE INDEX rag_passage_digest ON public.rag_passage USING btree (digest);
CREATE INDEX rag_passage_file ON public.rag_passage USING btree (store_id, file_id);
CREATE INDEX rag_store_file_file ON public.rag_store_file USING btree (file_id);
ALTER TABLE ONLY public.rag_batch
    ADD CONSTRAINT rag_batch_store_id_fkey FOREIGN KEY (store_id) REFERENCES public.rag_store(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.rag_passage
    ADD CONSTRAINT rag_passage_store_id_file_id_fkey FOREIGN KEY (store_id, file_id) REFERENCES public.rag_store_file(store_id, file_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.rag_store_file
    ADD CONSTRAINT rag_store_file_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES public.rag_batch(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.rag_store_file
    ADD CONSTRAINT rag_store_file_file_id_fkey FOREIGN KEY (file_id) REFERENCES public.rag_file(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.rag_store_file
    ADD CONSTRAINT rag_store_file_store_id_fkey FOREIGN KEY (store_id) REFERENCES public.rag_store(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.rag_text
    ADD CONSTRAINT rag_text_file_id_fkey FOREIGN KEY (file_id) REFERENCES public.rag_file(id) ON DELETE CASCADE;
