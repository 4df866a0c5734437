"""Forms of rows in a body: conversion between bytes and float32 ``[n, d]``."""
