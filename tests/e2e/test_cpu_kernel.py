"""CPU time in the kernel, in system calls and in page faults, is charged to the function that it was spent for.

Bounds. A perf clock shows user mode only; of time in the kernel each of the kernel's ticks is a sample, of 4 ms (250 Hz). Three functions
have 1.5 s each by turns: n = 1125 samples, each in one of them with p = 1/3. A count has a standard deviation of sqrt(n p (1 - p)) = 16, 1.4
points of 100; five of them are 7. What is due in the kernel and met by no tick is counted at the next that is met, and turns of 0.1 to 5 ms
are as short as the distance of two: 3 points more. (The timer at 100 Hz: 450 samples, 2.2 points; ten are 4.5 of them.)
On a machine where the thread waits for processors the ticks meet others (README, Limits), and there is nothing to be asked.
"""

import pytest

FUNCTIONS = ("compute", "read_zeros", "touch_pages")
CASES = [("timer", 100), ("perf", 1000)]

RUNS = {f"{hz}-{clock}": (["kernel_time", 1.5], {"PROF_CPU_HZ": str(hz), "PROF_CPU_CLOCK": clock}, {"cores": 2})
        for clock, hz in CASES}


@pytest.mark.parametrize("clock,hz", CASES)
def test_each_function_has_its_time_in_the_kernel(runs, request, clock, hz):
    if clock == "perf":
        request.getfixturevalue("perf_clock")
    run = runs[f"{hz}-{clock}"]
    run.check_unharmed()
    profile, total = run.profile(), sum(run.result.values())
    assert abs(profile.total * 1e9 / hz - total) <= .03 * total, f"{profile.total} of {total}"
    if profile.document["duration_nanos"] > 1.1 * total:
        pytest.skip("the program had to wait for processors")
    for name in FUNCTIONS:
        assert abs(profile.share(name) - run.result[name] / total) * 100 < 10, f"{name}: {run.result}\n{profile.describe()}"
