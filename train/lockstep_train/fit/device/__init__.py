"""Where a network is fitted: the CPU, or what Lightning Fabric reaches."""
