"""The door to Beam's RunInference: a model handler, its examples, and where its failures go."""

from transforms.inference.handler import KeyedRitellmModelHandler, RitellmModelHandler

__all__ = ["KeyedRitellmModelHandler", "RitellmModelHandler"]
