"""Search strategies: one algorithm a file, all behind the ask/tell contract of `Strategy`."""

from spaces import Encoding, Registry, parse

from .strategy import Strategy, View

STRATEGIES = Registry("strategy")
STRATEGIES.register("random", "strategies.random_search:RandomSearch")
STRATEGIES.register("genetic", "strategies.genetic:Genetic")
STRATEGIES.register("annealing", "strategies.annealing:Annealing")
STRATEGIES.register("regularised_evolution", "strategies.regularised_evolution:RegularisedEvolution")
STRATEGIES.register("free_rea", "strategies.free_rea:FreeRea")
STRATEGIES.register("local_search", "strategies.local_search:LocalSearch")
STRATEGIES.register("search_economics", "strategies.search_economics:SearchEconomics")
STRATEGIES.register("large_space_evolution", "strategies.large_space_evolution:LargeSpaceEvolution")
STRATEGIES.register("nsga2", "strategies.nsga2:Nsga2")
STRATEGIES.register("reinforce", "strategies.reinforce:Reinforce")



def create_strategy(name: str, encoding: Encoding, seed: int = 0, **values: object) -> Strategy:
    """Returns the registered strategy `name` over `encoding`.

    Raises:
        UnknownNameError: if no strategy has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    strategy = STRATEGIES.get(name)
    return strategy(encoding, seed, parse(strategy.Parameters, values, f"strategy.{name}"))


__all__ = ["STRATEGIES", "Strategy", "View", "create_strategy"]
