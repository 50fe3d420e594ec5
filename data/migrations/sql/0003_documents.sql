-- A debit note takes back the credit note of a refund that failed after all.

alter table document drop constraint document_kind_check,
  add constraint document_kind_check check (kind in ('receipt', 'payment_receipt', 'credit_note', 'debit_note'));
