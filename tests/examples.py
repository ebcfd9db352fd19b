"""How many examples hypothesis tries: few and always the same ones, or more and new ones where they are asked for."""

import os
import re

TIMES = int(os.environ.get("STEREO3D_EXAMPLES", "1"))


def tries(count: int) -> int:
    """`count` in `make test`; `make test EXAMPLES=20` tries 20 times as many, drawn anew each time."""
    return count * TIMES


# Slow variants of what another variant or test holds: they run where more examples are asked for.
SLOW_VARIANTS = re.compile(
    r"test_memory_prediction_holds\[(planes_full|planes-options1)"
    r"|test_photographs_become_a_mesh\[names[012]"
    r"|test_every_method_reaches_the_truth\[(detector-|matcher-planes_full|matcher-sgbm|matcher-planes_fast)"
    r"|test_a_calibrated_stereo_window_keeps_the_order_given\[(-45-right|45-left|92-left|0-right)"
    r"|test_a_sky_is_no_surface\[hazy"
    r"|test_every_way_to_stand\[(handheld_vertical|handheld_swapped|vertical|rectified)"
    r"|test_the_near_stays_near_in_any_stereo_window\[(parallel-False-61|parallel-False-40|toed_in-False-30)"
    r"|test_one_file_with_a_stereo_window_gives_the_same_as_two_files\[sbs"
    r"|test_the_distortion_is_chosen_by_evidence\[[25]"
    r"|test_no_more_faces_than_asked_for\[poisson-(2000|20000)\]"
    r"|test_disparity_finds_the_range_and_its_sign\[(swapped|slanted)-planes_f"
    r"|test_a_turned_grid_gives_the_same_surface_the_same_way_round\[poisson-[12]"
    r"|test_infinity_outside_the_other_picture_takes_no_surface\[bars"
    r"|test_lies_on_the_true_surface_and_covers_it\[poisson-slanted"
    r"|test_what_is_shown_is_what_the_run_finds\[(block|sgbm)"
    r"|test_fountain_from_its_true_depth\[poisson"
    r"|test_(specks_go_and_pieces_stay|a_large_map_is_thinned_first_and_stays_on_the_surface)\[poisson"
    r"|test_the_number_of_threads_changes_nothing\[asift"
    r"|test_(sigma_goes_with_the_vertices|a_floor_running_away_is_whole_near_and_far)\[poisson"
    r"|test_the_command_finds_the_model_of_rendered_boards\[fisheye"
    r"|test_fountain_turned_and_swapped$|test_forward_motion_is_named$|test_forced_past_an_error$"
    r"|test_a_guessed_focal_says_what_it_does_to_depth$|test_a_calibration_without_pose$|test_fountain_truth_as_a_mesh$"
    r"|test_the_default_is_what_the_rig_states$|test_a_known_distance_is_between_pixels_of_the_fisheye_photo$"
    r"|test_the_focal_length_given_in_three_ways$|test_runs_leave_nothing_in_the_process$"  # benchmarks/soak.py
)
