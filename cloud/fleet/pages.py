"""Claiming a button."""

from fastapi import APIRouter

router = APIRouter()
