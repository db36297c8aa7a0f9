"""What Compose and Swarm share: containers, the daemon, jobs."""
