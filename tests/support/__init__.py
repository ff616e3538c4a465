"""What tests share, and is no test itself.

    what must be true   oracle (the count by a plain loop), laws (of values), strategies (what Hypothesis draws from),
                        speed_views (the speed layer by a plain loop)
    stores and tables   both_views, minutes, raw_tables, raw_writer, recounts, audit_records
    processes           systems (a whole one), streams, gateways, apis, clusters (Kafka, HBase, S3), modes, kills
    the world outside   traffic, proxies, scripted, thrift_servers, webhooks, kafka_clients, schemathesis_events

Fixtures are in the `conftest.py` of each kind of test, and in tests/conftest.py what several kinds share.
"""
