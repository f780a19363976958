"""All tables, gathered for the migrations: importing this fills `cloud.database.metadata`."""

import cloud.accounts.store
import cloud.alerts.routes
import cloud.alerts.store
import cloud.alerts.tallies
import cloud.appeals.store
import cloud.audit.store
import cloud.downlinks.store
import cloud.fleet.imports
import cloud.fleet.notes
import cloud.fleet.store
import cloud.fleet.views
import cloud.frames.keeping
import cloud.frames.stations
import cloud.frames.store
import cloud.frames.tally
import cloud.gauges
import cloud.pickups.store
import cloud.stamps.ledger
import cloud.stamps.store

__all__ = ["cloud"]
