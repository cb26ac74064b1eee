"""Attacks, carried out.

Each row is one of the published attacks that Wardian must withstand, with the tests that carry it
out: a file here (or another folder's), and their names. `test_rows` holds the table to the files.

CVE-2019-5736: test_files_of_the_host
    test_programs_of_the_host_cannot_be_written_by_proc_exe
    test_entrypoint_that_is_the_runtimes_own_program_does_not_start
CVE-2019-5736: test_interpreter
    test_script_of_the_runtimes_own_interpreter_cannot_overwrite_it
CVE-2016-9962, CVE-2024-21626: test_files_of_the_host
    test_processes_have_the_descriptors_that_they_were_given_and_no_others
    test_main_process_and_terminals_have_no_other_descriptors
    test_working_directory_by_a_leaked_descriptor_is_refused
CVE-2016-9962, CVE-2024-21626: ../linux/test_health
    test_probe_is_what_exec_would_start
CVE-2016-9962, CVE-2024-21626: ../kernel/test_walls_of_cells
    test_programs_of_a_python_cell_have_standard_descriptors_only
    test_programs_of_a_shell_cell_have_only_pipes_to_their_own_shell
CVE-2025-31133, CVE-2025-52565: test_hostile_images
    test_devices_of_the_image_do_not_count
CVE-2025-52881, 2019-19921, 2023-27561, 2019-16884: test_hostile_images
    test_system_directory_that_is_a_link_is_refused
    test_system_directory_that_is_a_file_is_refused
    test_no_volume_lies_on_procfs
CVE-2025-52881, 2019-19921, 2023-27561, 2019-16884: test_redirected_proc
    test_tmpfs_over_proc_redirects_no_write_of_the_runtime
CVE-2025-52881, 2019-19921, 2023-27561, 2019-16884: test_shared_namespaces
    test_privileged_container_is_root_of_its_user_namespace_only
CVE-2026-41579, 2026-47766: test_hostile_images
    test_system_directory_that_is_a_link_is_refused
    test_mounts_of_the_spec_follow_links_only_within_the_root
CVE-2021-30465, CVE-2024-45310: test_exchange_race
    test_target_that_is_exchanged_is_never_mounted_outside
CVE-2022-0492: test_leaving_the_cgroup
    test_release_agent_is_out_of_reach
    test_release_agent_is_out_of_reach_without_the_filter_too
CVE-2022-0492: test_shared_namespaces
    test_hosts_cgroups_are_seen_and_not_written
leaving one's cgroup: test_leaving_the_cgroup
    test_nothing_below_sys_fs_cgroup_can_be_written
    test_limit_holds_for_who_moves_and_for_who_is_born_elsewhere
    test_parent_group_that_climbs_is_refused
    test_parent_group_is_no_containers_own
    test_limit_of_the_parent_group_holds_for_all_in_it
setgroups and group-denied files: test_privileges
    test_group_that_is_denied_a_file_cannot_be_dropped
CVE-2022-27650, 27651, 24769: test_privileges
    test_no_process_has_inheritable_or_ambient_capabilities
CVE-2017-5226: test_privileges
    test_nothing_typed_from_inside_is_read_outside
CVE-2026-30892: test_privileges
    test_word_that_is_no_user_starts_nothing
hostile files at exec: test_privileges
    test_hostile_passwd_delays_nobody
tar layers: test_tar_layers
    test_path_that_climbs_is_refused
    test_hard_link_to_a_symlink_is_not_followed
    test_file_below_a_chain_of_symlinks_stays_inside
    test_symlink_to_the_neighbourhood_leads_nowhere
    test_whiteout_of_no_name_or_of_the_parent_is_refused
    test_whiteout_below_a_symlink_stays_inside
images: test_images
    test_one_flipped_byte_in_any_file_is_noticed
    test_digest_that_is_a_path_is_refused
    test_manifest_that_is_an_index_too_is_refused
    test_index_whose_only_entry_is_of_its_own_name_is_refused
images: test_tar_layers
    test_bomb_is_refused_before_it_fills_the_disk
names: test_leaving_the_cgroup
    test_name_cannot_lead_out_of_the_folder_of_groups
exhaustion: test_exhaustion
    test_fork_bomb_stays_within_its_limit_and_can_be_ended
    test_memory_bomb_is_killed_and_its_container_goes_on
    test_endless_output_of_the_main_process_is_rotated
    test_thousands_of_files_are_removed_with_the_container
    test_full_disk_stops_who_fills_it_and_no_one_else
exhaustion: ../kernel/test_flood
    test_flood_of_small_displays_arrives_whole
what the cell says to the host: ../unit/test_init_messages
    test_noise_has_no_effect_and_leaks_nothing
what the cell says to the host: ../kernel/test_runner_hostile
    test_any_bytes_are_decoded_or_refused
    test_host_survives_any_sequence_of_messages
hostile working directory: test_interpreter
    test_modules_in_the_directory_of_whoever_asks_are_not_imported
who may talk to the keeper: test_keeper_and_init
    test_other_user_cannot_reach_the_socket
    test_other_user_who_gets_through_is_hung_up_on
    test_socket_is_not_to_be_seen_from_inside
who may talk to the keeper: test_shared_namespaces
    test_inits_that_are_not_the_first_process_cannot_be_read_or_traced

Not of the runtime core, and tested with the parts that they are of: build contexts, HTML and
JavaScript in a cell's output, network, the side panel's HTTP API.
"""
