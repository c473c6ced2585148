package bench

import (
	"slices"
	"time"
)

const mebibyte = 1 << 20

// median takes the median of each quantity on its own.
func median(costs []Cost) Cost {
	middle := func(of func(Cost) float64) float64 {
		values := make([]float64, len(costs))
		for i, c := range costs {
			values[i] = of(c)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return Cost{
		Wall: middle(func(c Cost) float64 { return c.Wall }), CPU: middle(func(c Cost) float64 { return c.CPU }),
		Peak: middle(func(c Cost) float64 { return c.Peak }),
	}
}

// turns runs limit and ours in turns and gives the medians.
func turns(rounds int, limit, ours func() (Cost, error)) (limitCost, oursCost Cost, err error) {
	var a, z []Cost
	for range rounds {
		for _, side := range []struct {
			run  func() (Cost, error)
			into *[]Cost
		}{{limit, &a}, {ours, &z}} {
			cost, err := side.run()
			if err != nil {
				return Cost{}, Cost{}, err
			}
			*side.into = append(*side.into, cost)
		}
	}
	return median(a), median(z), nil
}

// timed measures work in this process.
func timed(work func() error) (Cost, error) {
	began, used := time.Now(), ownCPU()
	if err := work(); err != nil {
		return Cost{}, err
	}
	cost := Cost{Wall: time.Since(began).Seconds(), CPU: (ownCPU() - used).Seconds()}
	cost.Peak = ownPeak() / mebibyte
	return cost, nil
}

// add is what several parts need one after the other.
func add(costs ...Cost) Cost {
	var sum Cost
	for _, c := range costs {
		sum.Wall, sum.CPU, sum.Peak = sum.Wall+c.Wall, sum.CPU+c.CPU, max(sum.Peak, c.Peak)
	}
	return sum
}
