-- What was handed out, as frozen facts; tax within prices; where people get their mail.

alter table receipt
  add column tax_included boolean not null default false,     -- the tax is part of the subtotal, not on top of it
  drop constraint receipt_check,
  add constraint total_adds_up check (total_micro = subtotal_micro + rounding_micro + case when tax_included then 0 else tax_micro end);

-- A receipt keeps the number it has; payment receipts and credit notes are numbered by their own series.
create table document (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('receipt', 'payment_receipt', 'credit_note')),
  subject text not null check (subject <> ''),     -- id of the receipt, payment or refund
  series text not null,
  year int not null,
  sequence int not null check (sequence > 0),
  number text not null unique,
  payer text not null,                         -- whose it is: a payer, or the owner of a wallet
  currency char(3) not null,
  total_micro bigint not null check (total_micro >= 0),
  facts jsonb not null check (jsonb_typeof(facts) = 'object' and facts ->> 'number' = number and facts ->> 'kind' = kind),
  issued_at timestamptz not null default now(),
  unique (kind, subject),
  unique (series, year, sequence)
);
create index on document (payer, issued_at desc);
call write_once('document');

alter table app_user
  add column email text not null default '' check (email = '' or (email ~ '^[^[:space:]<>@]+@[^[:space:]<>@]+$' and length(email) <= 254)),
  add column language text not null default 'en' check (language in ('en', 'th'));    -- of documents and mail

-- Mail that was handed to a mail server: the same message is handed over once.
create table mail (
  message_id text primary key,
  recipient text not null,
  document text references document (number),
  sent_at timestamptz not null default now(),
  via text not null                            -- the server, or the folder in development
);
create index on mail (document);
call write_once('mail');
