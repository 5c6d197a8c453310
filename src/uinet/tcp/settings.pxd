cdef class Settings:
    cdef public object _congestion
    cdef public long long ecn
    cdef public bint dsack, frto, hystart, hystart_train, pacing, slow_start_after_idle
    cdef public bint drop_unexpected_signatures, sack, syn_cookies, timestamps, window_scaling
    cdef public long long receive_buffer
    cdef public long long send_buffer
    cdef public long long receive_buffer_max
    cdef public long long send_buffer_max
    cdef public long long max_buffer
    cdef public long long mtu_probing
    cdef public long long rto_initial
    cdef public long long rto_min
    cdef public long long rto_max
    cdef public long long user_timeout
    cdef public long long user_timeout_low
    cdef public long long user_timeout_high
    cdef public long long connect_timeout
    cdef public long long orphan_timeout
    cdef public long long delayed_ack
    cdef public long long msl
    cdef public long long fin_wait_2_timeout
    cdef public long long time_wait_limit
    cdef public long long keepalive_idle
    cdef public long long keepalive_interval
    cdef public long long keepalive_count
    cdef public long long syn_ack_retries
    cdef public long long syn_cache_limit
    cdef public long long defer_limit
    cdef public long long defer_timeout
    cdef public long long fast_open_period
    cdef public long long fast_open_reset_time
    cdef public long long fast_open_cache
    cdef public long long fast_open_pause
    cdef public long long fast_open_blackhole
    cdef public long long port_low
    cdef public long long port_high
    cdef public long long initial_window_segments
    cdef public long long min_mss
    cdef public long long out_of_order_islands
    cdef public long long challenge_ack_interval
    cdef public long long rst_rate
    cdef public bint insecure_rst, insecure_syn
    cdef public long long blackhole, copy_held, copy_memory, drop_syn_fin
    cdef public long long receive_memory
    cdef public long long send_memory
    cdef public long long watched_buffer
    cdef public object passive
