// Everything a program needs.
#pragma once

#include "greedysnake/batch.h"
#include "greedysnake/batch_source.h"
#include "greedysnake/cached_unit.h"
#include "greedysnake/config.h"
#include "greedysnake/error.h"
#include "greedysnake/evaluate.h"
#include "greedysnake/generator.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/log.h"
#include "greedysnake/models.h"
#include "greedysnake/results.h"
#include "greedysnake/run.h"
#include "greedysnake/trainer.h"
#include "greedysnake/unit.h"
#include "greedysnake/version.h"
