"""The line mode: appended lines for screen readers, pipes and scripts."""
