"""Every knob, read from the environment once. Secrets come from the environment or from files, never from code.

In development what is missing is made and kept under `home`/secrets; in production it is an error, so that a
default can never guard money.
"""

from __future__ import annotations

import os
import re
import secrets as random
import tempfile
from collections.abc import Callable
from email.utils import parseaddr
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from data.provider_settings import SWITCHES, ProviderSettings, unfit_key, what_switches_on
from engine import emv
from engine.errors import MoneyError
from engine.money import parse_micro
from engine.users import ADDRESS

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def _or_value_error(check: Callable[[str], T], value: str) -> T:
    """A refusal of the engine as one of the settings'."""
    try:
        return check(value)
    except emv.BadQr as refusal:
        raise ValueError(refusal.detail) from None


def _an_amount(value: object) -> str:
    """The amount as it was written; refused when it is none or negative."""
    try:
        below = parse_micro(str(value)) < 0
    except MoneyError as refusal:
        raise ValueError(refusal.detail) from None
    if below:
        raise ValueError(f"{value} is below zero; an amount is 1000 or 1000.50")
    return str(value)


def _amounts(value: object) -> str:
    """Amounts by comma, each checked."""
    for text in str(value).split(","):
        _an_amount(text)
    return str(value)


Amount = Annotated[str, BeforeValidator(_an_amount)]
Amounts = Annotated[str, BeforeValidator(_amounts)]


class Settings(ProviderSettings):
    """All settings; each field is COREHOURS_<NAME> in the environment unless it says otherwise."""

    env: Literal["development", "production"] = "development"
    home: Path = ROOT / "var"
    database_url: SecretStr | None = Field(None, validation_alias=AliasChoices("DATABASE_URL", "COREHOURS_DATABASE_URL"))
    lake: str = ""                                  # where the analytics Parquet lies; empty: home/lake

    # how an s3:// lake is reached; where one is empty, what Amazon's own tools look for counts
    s3_endpoint: str = Field("", validation_alias=AliasChoices("COREHOURS_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    s3_region: str = Field("us-east-1", validation_alias=AliasChoices("COREHOURS_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"))
    s3_key_id: str = Field("", validation_alias=AliasChoices("COREHOURS_S3_KEY_ID", "AWS_ACCESS_KEY_ID"))
    s3_secret: SecretStr | None = Field(None, validation_alias=AliasChoices("COREHOURS_S3_SECRET", "AWS_SECRET_ACCESS_KEY"))
    s3_session_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("COREHOURS_S3_SESSION_TOKEN", "AWS_SESSION_TOKEN"))

    site_name: str = "Corehours"
    site_address: str = ""                          # on documents; \n or a real line end between its lines
    site_tax_id: str = ""
    time_zone: str = "UTC"                          # for words, days and months; instants are UTC everywhere
    default_tier: str = "mu"
    default_currency: str = "THB"
    tax_name: str = "VAT"
    tax_ppm: int = Field(0, ge=0, le=1_000_000)     # 70_000 is 7 %
    tax_included: bool = False                      # the prices of the rate cards contain the tax
    receipt_series: str = "CH"
    payment_receipt_series: str = "PR"
    credit_note_series: str = "CN"
    debit_note_series: str = "DN"
    receipt_due_days: int = Field(30, ge=0)
    payment_minutes: int = Field(20, ge=1)
    topup_minimum: Amount = "20"                    # in whole units of the wallet's currency, as the next three
    topup_maximum: Amount = "50000"
    topup_amounts: Amounts = "100, 500, 1000, 5000"   # offered at a click
    adjustment_limit: Amount = "1000"               # a change of a wallet by hand above it needs a second person

    dashboard_url: str = "http://localhost:8501"    # as people reach it
    sidecar_url: str = "http://localhost:8601"
    payment_provider: str = Field("auto", validate_default=True)    # the first offered; none: no payment through a provider

    promptpay_id: str = ""                          # a mobile number, 13 or 15 digits, or biller: and 15 digits
    bank_iban: str = ""
    bank_bic: str = ""
    bank_account_name: str = ""                     # empty: the site's name

    smtp_url: SecretStr | None = None               # smtp://user:password@host:587, smtps://… from the first byte
    mail_from: str = ""                             # Corehours <billing@example.org>

    slurm_cluster: str = ""
    slurmrestd_url: str = Field("", validation_alias=AliasChoices("COREHOURS_SLURMRESTD_URL", "SLURMRESTD_URL"))
    slurmrestd_user: str = Field("", validation_alias=AliasChoices("COREHOURS_SLURMRESTD_USER", "SLURMRESTD_USER"))
    slurmrestd_token: SecretStr | None = Field(         # SLURM_JWT is where Slurm's own tools look
        None, validation_alias=AliasChoices("COREHOURS_SLURMRESTD_TOKEN", "SLURMRESTD_TOKEN", "SLURM_JWT"))
    sacct: str = "sacct"
    usage_file: str = ""
    usage_promise_minutes: int = Field(60, ge=1)    # older than this, the freshness badge turns orange

    provisioner: Literal["auto", "ssh", "dummy", "none"] = "auto"     # of GPU nodes; auto: ssh where there is a key, dummy in development
    node_key_file: str = ""                         # our management key: Ed25519, no passphrase, read by the sidecar only
    nodes_per_user: int = Field(4, ge=1)            # at once
    node_minimum_minutes: int = Field(60, ge=0)     # a wallet must pay for so much of a node to begin
    node_idle_notice_minutes: int = Field(30, ge=1)  # its holder is told when its GPUs did nothing for that long
    billing_interval_seconds: int = Field(60, ge=1, le=3600)

    session_idle_minutes: int = Field(30, ge=1)
    session_hours: int = Field(12, ge=1)
    throttle_failures: int = Field(5, ge=1)
    throttle_window_seconds: int = Field(60, ge=1)
    throttle_lock_seconds: int = Field(300, ge=1)

    audit_key: SecretStr | None = None              # hex or text; its id follows
    audit_key_id: str = "k1"
    dummy_webhook_secret: SecretStr | None = None   # several, by comma, while rotating

    @field_validator("payment_provider")
    @classmethod
    def _first_offered(cls, value: str, info: ValidationInfo) -> str:
        if value != "auto":
            return "" if value == "none" else value
        given = (name for name, switch in SWITCHES.items() if all(info.data.get(setting) for setting in switch.settings))
        return next(given, "dummy" if info.data.get("env") == "development" else "")

    @field_validator("topup_maximum")
    @classmethod
    def _over_the_minimum(cls, value: str, info: ValidationInfo) -> str:
        least = info.data.get("topup_minimum", "0")
        if parse_micro(value) < parse_micro(least):
            raise ValueError(f"{value} is less than COREHOURS_TOPUP_MINIMUM, {least}: nobody could add funds")
        return value

    @field_validator("lake")
    @classmethod
    def _folder_or_bucket(cls, value: str) -> str:
        if "://" in value and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/.*)?", value):
            raise ValueError(f"{value} is neither a folder nor a bucket; a bucket is s3://corehours/lake")
        return value

    @field_validator("s3_endpoint")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]+/?", value):
            raise ValueError(f"{value} is no address of an S3 service; one is https://s3.example.org or http://127.0.0.1:9000")
        return value.rstrip("/")

    @field_validator("promptpay_id")
    @classmethod
    def _a_promptpay_id(cls, value: str) -> str:
        if value:
            _or_value_error(emv.promptpay_id, value)
        return value

    @field_validator("bank_iban")
    @classmethod
    def _an_iban(cls, value: str) -> str:
        return _or_value_error(emv.check_iban, value) if value else value

    @field_validator("bank_bic")
    @classmethod
    def _a_bic(cls, value: str) -> str:
        return _or_value_error(emv.check_bic, value)

    @field_validator("mail_from")
    @classmethod
    def _an_address_to_write_from(cls, value: str) -> str:
        if value and not ADDRESS.fullmatch(parseaddr(value)[1]):
            raise ValueError(f"{value} is no address to write from; one is Corehours <billing@example.org>")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"smtps?://([^/\s]*@)?[^/\s:@]+(:\d+)?/?", value.get_secret_value()):
            raise ValueError("this is no mail server; one is smtp://user:password@mail.example.org:587")
        return value

    @model_validator(mode="after")
    def _series_of_their_own(self) -> Settings:
        series = [self.receipt_series, self.payment_receipt_series, self.credit_note_series, self.debit_note_series]
        if len(set(series)) < len(series):
            raise ValueError(f"receipts, payment receipts, credit notes and debit notes need a series each, not {', '.join(series)}")
        return self

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, OSError):
            raise ValueError(f"{value} is no time zone; one is Asia/Bangkok") from None
        return value

    @model_validator(mode="after")
    def _safe_in_production(self) -> Settings:
        if self.env == "production":
            missing = [name for name in ("database_url", "audit_key") if not getattr(self, name)]
            if missing:
                raise ValueError("production needs " + ", ".join(
                    "DATABASE_URL" if name == "database_url" else f"COREHOURS_{name.upper()}" for name in missing))
            if len(self.audit_key or "") < 16:
                raise ValueError("COREHOURS_AUDIT_KEY needs at least 16 characters in production: openssl rand -hex 32")
            if self.provisioner == "dummy":
                raise ValueError("the dummy provisioner does not run in production: set COREHOURS_PROVISIONER to ssh or none")
            if self.payment_provider == "dummy":
                raise ValueError("the dummy payment provider does not run in production: set COREHOURS_PAYMENT_PROVIDER (or none)")
        return self

    @model_validator(mode="after")
    def _a_key_for_the_nodes(self) -> Settings:
        if self.provisioner == "ssh" and not self.node_key_file:
            raise ValueError("COREHOURS_PROVISIONER is ssh: set COREHOURS_NODE_KEY_FILE to the file of our management key")
        return self

    @property
    def node_provisioner(self) -> Literal["ssh", "dummy", ""]:
        """What sets nodes up here; empty where none are rented out."""
        if self.provisioner == "auto":
            return "ssh" if self.node_key_file else "dummy" if self.development else ""
        return "" if self.provisioner == "none" else self.provisioner

    @model_validator(mode="after")
    def _providers_fit(self) -> Settings:
        for name in self.switched_on():
            if why := unfit_key(name, self.words_of(SWITCHES[name].settings[0]), self.livemode):
                raise ValueError(why)
        chosen = self.payment_provider
        if chosen in SWITCHES and chosen not in self.switched_on():
            raise ValueError(f"COREHOURS_PAYMENT_PROVIDER is {chosen}: set {what_switches_on(chosen)}")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def development(self) -> bool:
        """True where demo users, the dummy provider and made-up secrets are allowed."""
        return self.env == "development"

    @property
    def livemode(self) -> bool:
        """True where payments move real money: test events do not count there, nor live ones elsewhere."""
        return self.env == "production"

    @property
    def payment_providers(self) -> tuple[str, ...]:
        """Those that payers may choose from, the first offered first; none where payments are switched off."""
        first = self.payment_provider
        bank = ("bank_qr",) if self.promptpay_id or self.bank_iban else ()
        return (first, *(name for name in (*self.switched_on(), *bank) if name != first)) if first else ()

    @property
    def topup_minimum_micro(self) -> int:
        """The smallest top-up."""
        return parse_micro(self.topup_minimum)

    @property
    def topup_maximum_micro(self) -> int:
        """The largest top-up."""
        return parse_micro(self.topup_maximum)

    @property
    def topup_amounts_micro(self) -> list[int]:
        """The top-ups offered at a click that are neither too small nor too large."""
        amounts = [parse_micro(text) for text in self.topup_amounts.split(",")]
        return [micro for micro in amounts if self.topup_minimum_micro <= micro <= self.topup_maximum_micro]

    @property
    def adjustment_limit_micro(self) -> int:
        """Up to here one person may change a wallet alone."""
        return parse_micro(self.adjustment_limit)

    @property
    def lake_path(self) -> str:
        """Folder or s3:// address of the analytics Parquet."""
        return self.lake or str(self.home / "lake")

    def secret(self, name: Literal["audit_key", "dummy_webhook_secret"]) -> str:
        """The secret `name`: from the environment, else (development only) made once and kept 0600 under home/secrets."""
        given: SecretStr | None = getattr(self, name)
        if given is not None:
            return given.get_secret_value()
        if not self.development:
            raise ValueError(f"production needs COREHOURS_{name.upper()}")
        return _kept_secret(self.home / "secrets" / name)


def _kept_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        handle, written = tempfile.mkstemp(dir=path.parent)         # 0600; whole before it has its name
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(random.token_hex(32))
        try:
            path.hardlink_to(written)
        except FileExistsError:
            pass                                                    # another process was first: its secret counts
        finally:
            Path(written).unlink()
    return path.read_text(encoding="ascii")


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings of this process, read once."""
    return Settings()
