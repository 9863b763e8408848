package com.apcc.m11.arch.event;

import java.io.Serializable;
import java.util.Arrays;

/** The numbers that tell what happened. The name of the class is not known. */
public class ObjectId implements Serializable {
    private static final long serialVersionUID = 1L;

    private final Integer[] theObjectIds;

    public ObjectId(String dotted) {
        theObjectIds = Arrays.stream(dotted.split("\\.")).map(Integer::valueOf).toArray(Integer[]::new);
    }
}
