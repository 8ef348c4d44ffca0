package testbed

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metrics returns the samples that a process serves on its operations address,
// named with their labels as Prometheus writes them:
//
//	gotapi_edge_refused_upgrades_total{reason="rate"}
func Metrics(ctx context.Context, ops string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s", ops, resp.Status)
	}
	samples := make(map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		end := strings.LastIndexByte(line, ' ') // label values may hold spaces
		if end < 0 || line[0] == '#' {
			continue
		}
		if samples[line[:end]], err = strconv.ParseFloat(line[end+1:], 64); err != nil {
			return nil, fmt.Errorf("metrics of %s: %q: %w", ops, line, err)
		}
	}
	return samples, lines.Err()
}
