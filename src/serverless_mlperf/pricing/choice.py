"""By which prices and rules the runs of a results folder are priced."""

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.pricing.billing import PRESENT_RULES, rules_on
from serverless_mlperf.pricing.cost import Pricing
from serverless_mlperf.pricing.table import RegionPrices, load_prices, region_from
from serverless_mlperf.store import ResultsFolder


def pricing_of(folder: ResultsFolder) -> Pricing:
    """By the prices of the day on which the experiment began, also when it is resumed; raises InputError."""
    config, noted = folder.config, folder.environment.get("prices")
    prices = load_prices().region(config.price_region) if noted is None else region_from(noted, str(folder.path))
    return pricing_by(config, prices)


def pricing_by(config: ExperimentConfig, prices: RegionPrices) -> Pricing:
    """By given prices and the experiment's rules."""
    rules = rules_on(config.billing_date) if config.billing_date else PRESENT_RULES
    return Pricing(config.price_region, prices, rules)
