package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
)

// measure runs the cases whose names match and prints a row for each.
func measure(ctx context.Context, p programs, match string, all []loadCase) error {
	chosen, err := matching(all, match)
	if err != nil {
		return err
	}
	fmt.Println(rowHeader)
	for _, c := range chosen {
		r, err := measureOne(ctx, p, c)
		if err != nil {
			return err
		}
		fmt.Println(r.row(c.name))
	}
	return nil
}

// compare runs each case with both builds in turns, rounds times, and prints the
// medians. Each second round begins with the other build, so that a machine that
// becomes steadily slower slows both alike. The single runs go to standard error.
// A case that fails does not keep the others from running.
func compare(ctx context.Context, a, b programs, rounds int, match string, all []loadCase) error {
	if rounds < 1 {
		return fmt.Errorf("-rounds is %d: want 1 or more", rounds)
	}
	chosen, err := matching(all, match)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, rowHeader)
	var failed []error
	for _, c := range chosen {
		runs, err := runInTurns(ctx, [2]programs{a, b}, rounds, c)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		printComparison(os.Stdout, c.name, runs[0], runs[1])
	}
	return errors.Join(failed...)
}

func runInTurns(ctx context.Context, builds [2]programs, rounds int, c loadCase) (runs [2][]result, err error) {
	for round := range rounds {
		for turn := range 2 {
			build := (round + turn) % 2
			r, err := measureOne(ctx, builds[build], c)
			if err != nil {
				return runs, err
			}
			fmt.Fprintln(os.Stderr, r.row("AB"[build:build+1]+" "+c.name))
			runs[build] = append(runs[build], r)
		}
	}
	return runs, nil
}

// printComparison prints each figure's medians, their ratio, and the smallest and
// largest ratio of a round: a ratio of medians within that range of 1 says little.
func printComparison(out io.Writer, name string, a, b []result) {
	fmt.Fprintf(out, "%-58s %12s %12s %8s  of the %d rounds\n", name, "A", "B", "B/A", len(a))
	for i, f := range a[0].figures() {
		va, okA := values(a, i)
		vb, okB := values(b, i)
		if !okA || !okB {
			continue
		}
		ratios := make([]float64, len(va))
		for round := range va {
			ratios[round] = vb[round] / va[round]
		}
		ma, mb := median(va), median(vb)
		fmt.Fprintf(out, "  %-56s %12.2f %12.2f %8.3f  %.3f to %.3f\n", f.name, ma, mb, mb/ma, slices.Min(ratios), slices.Max(ratios))
	}
}

// values returns the i-th figure of all runs, and whether all have it.
func values(runs []result, i int) (vs []float64, ok bool) {
	for _, r := range runs {
		f := r.figures()
		if i >= len(f) {
			return nil, false
		}
		vs = append(vs, f[i].value)
	}
	return vs, true
}

func median(vs []float64) float64 {
	vs = slices.Sorted(slices.Values(vs))
	n := len(vs)
	return (vs[(n-1)/2] + vs[n/2]) / 2
}

func matching(all []loadCase, match string) ([]loadCase, error) {
	name, err := regexp.Compile(match)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c loadCase) bool { return !name.MatchString(c.name) }), nil
}

// measureOne runs one case on servers of its own, so that no case inherits
// another's memory.
func measureOne(ctx context.Context, p programs, c loadCase) (result, error) {
	p.edges = c.edges
	s, err := startServers(ctx, p)
	if err != nil {
		return result{}, fmt.Errorf("%s: start %s: %w", c.name, p.bin, err)
	}
	defer s.stop()
	r, err := c.run(ctx, s)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return r, nil
}
