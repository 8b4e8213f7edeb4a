"""A simulated /sys: files that stand for a board's sensors. Nothing of it is hardware."""

from pathlib import Path


class Tree:
    """Writes sensor files below one folder."""

    def __init__(self, root: Path):
        self.root = root

    def write(self, path, value):
        """Replace a file at once, so that no reader finds it empty."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}")
        part.write_text(f"{value}\n")
        part.replace(file)

    def cpu(self, number, *, now=1_500_000, limit=2_400_000, top=2_400_000):
        """Frequencies in kHz."""
        folder = f"devices/system/cpu/cpu{number}/cpufreq"
        self.write(f"{folder}/scaling_governor", "schedutil")
        self.write(f"{folder}/scaling_cur_freq", now)
        self.write(f"{folder}/scaling_max_freq", limit)
        self.write(f"{folder}/cpuinfo_max_freq", top)

    def cooling(self, number, kind, level):
        self.write(f"class/thermal/cooling_device{number}/type", kind)
        self.write(f"class/thermal/cooling_device{number}/cur_state", level)

    def zone(self, number, kind, milli):
        self.write(f"class/thermal/thermal_zone{number}/type", kind)
        self.write(f"class/thermal/thermal_zone{number}/temp", milli)

    def throttled(self, cpu, count):
        self.write(f"devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", count)

    def rail(self, channel, label, watts, *, volts=5.0, hwmon=0, interval_ms=5):
        folder = f"class/hwmon/hwmon{hwmon}"
        self.write(f"{folder}/name", "ina3221")
        self.write(f"{folder}/update_interval", interval_ms)
        self.write(f"{folder}/in{channel}_label", label)
        self.write(f"{folder}/in{channel}_input", round(volts * 1000))
        self.write(f"{folder}/curr{channel}_input", round(watts / volts * 1000))

    def package(self, number, joules, *, wraps_j=262_143.0):
        folder = f"class/powercap/intel-rapl:{number}"
        self.write(f"{folder}/name", f"package-{number}")
        self.write(f"{folder}/max_energy_range_uj", round(wraps_j * 1e6))
        self.write(f"{folder}/energy_uj", round(joules % wraps_j * 1e6))
