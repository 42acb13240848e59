package main

import (
	"context"
	"database/sql"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"
)

const schema = `
CREATE TABLE IF NOT EXISTS products (name text PRIMARY KEY, price integer NOT NULL);
INSERT INTO products VALUES ('bread', 320), ('honey', 790), ('tea', 450) ON CONFLICT DO NOTHING;`

type product struct {
	Name  string `json:"name"`
	Price int    `json:"price"` // in cents
}

// catalogue is led to its store by the variables that every client of PostgreSQL knows, PGHOST, PGUSER, PGPASSWORD and
// PGDATABASE (https://www.postgresql.org/docs/17/libpq-envars.html), or by DATABASE_URL.
func catalogue(stopped context.Context) {
	if os.Getenv("PGSSLMODE") == "" {
		os.Setenv("PGSSLMODE", "disable")
	}
	store, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { // the process is well, store or not
		answer(w, http.StatusOK, "catalogue", map[string]any{})
	})
	routes.HandleFunc("GET /{path}", func(w http.ResponseWriter, r *http.Request) {
		if path := r.PathValue("path"); path != "products" && path != "healthz" {
			http.NotFound(w, r)
			return
		}
		limit, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		found, err := products(limit, store)
		if err != nil {
			log.Println("the store:", err)
			answer(w, http.StatusServiceUnavailable, "catalogue", map[string]any{"error": err.Error()})
			return
		}
		answer(w, http.StatusOK, "catalogue", map[string]any{"products": found})
	})
	serve(stopped, "catalogue", routes)
}

// products reads them from the store, which gets its table first if it has none.
func products(ctx context.Context, store *sql.DB) ([]product, error) {
	if _, err := store.ExecContext(ctx, schema); err != nil {
		return nil, err
	}
	rows, err := store.QueryContext(ctx, "SELECT name, price FROM products ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []product{}
	for rows.Next() {
		var one product
		if err := rows.Scan(&one.Name, &one.Price); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}
