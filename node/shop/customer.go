package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	atOnce   = 2                      // requests on their way at the same time
	pause    = 200 * time.Millisecond // between an answer and the next request
	patience = 10 * time.Second       // for one answer
)

// customer asks url for ever, each time over a connection of its own, and says once a second how that goes. It counts from
// the first answer on: before that, the shop has not opened.
func customer(stopped context.Context, url string) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&dialer{}).dial}}
	var mutex sync.Mutex
	versions, lost := map[string]int{}, 0
	for range atOnce {
		go func() {
			for {
				version, err := ask(client, url)
				mutex.Lock()
				switch {
				case err == nil:
					versions[version]++
				case len(versions) > 0:
					lost++
					log.Println("lost:", err)
				}
				mutex.Unlock()
				time.Sleep(pause)
			}
		}()
	}
	for tick := time.Tick(time.Second); ; {
		select {
		case <-stopped.Done():
			return
		case <-tick:
			mutex.Lock()
			report(versions, lost)
			mutex.Unlock()
		}
	}
}

func report(versions map[string]int, lost int) {
	if len(versions) == 0 {
		log.Println("waiting for the shop to open")
		return
	}
	answered, by := 0, []string{}
	for _, version := range slices.Sorted(maps.Keys(versions)) {
		answered += versions[version]
		by = append(by, fmt.Sprintf("%d by version %s", versions[version], version))
	}
	log.Printf("answered %d (%s), lost %d", answered, strings.Join(by, ", "), lost)
}

// ask returns the version that answered.
func ask(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var says struct{ Version string }
	if err := json.NewDecoder(response.Body).Decode(&says); err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", url, response.Status)
	}
	return says.Version, nil
}

// dialer looks a name up once, and again when nobody answers at the address that it got.
type dialer struct {
	sync.Mutex
	known map[string]string
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.Lock()
	known := d.known[address]
	d.Unlock()
	if known == "" {
		known = address
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, network, known)
	d.Lock()
	defer d.Unlock()
	if err != nil {
		d.known = nil
		return nil, err
	}
	if d.known == nil {
		d.known = map[string]string{}
	}
	d.known[address] = connection.RemoteAddr().String()
	return connection, nil
}
